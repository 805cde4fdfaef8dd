"""Log files and captured folders: written, read, captured from topics, played back."""
