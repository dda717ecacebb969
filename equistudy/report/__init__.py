"""The only package that imports Altair: figures, one self-contained page, exports."""
