"""Downloads datasets and pretrained weights when asked to, checks them, and puts them where the readers look."""
