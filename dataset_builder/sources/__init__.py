"""Where clips come from: archives, folders, UrbanSound8K, sireNNet and classes of one's own."""
