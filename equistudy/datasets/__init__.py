"""Images, faces, streets, molecules: embedded digits, and readers of the original file formats."""
