"""Downloads datasets and pretrained weights on request, verifies them, and puts them where the readers look."""
