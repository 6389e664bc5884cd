"""What a run leaves behind: the certificate, the view in the terminal, and the page that opens from disk."""
