"""The words a study is written in."""
