"""What the tests of training share; this file also lets the folders below import the helpers beside it."""
