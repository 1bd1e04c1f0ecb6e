"""Sources of clips: archives, folders, UrbanSound8K, sireNNet and classes of one's own."""
