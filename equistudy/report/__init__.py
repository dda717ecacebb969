"""The only room that imports Altair: figures, one self-contained page, exports."""
