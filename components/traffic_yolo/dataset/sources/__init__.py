"""Opening what lies there: recordings, pictures in files, archives and lists of such, as streams of frames."""
