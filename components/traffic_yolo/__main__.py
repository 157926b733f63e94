"""`python -m traffic_yolo`: the command line where the console script is not on the PATH."""

from traffic_yolo.cli import main

main()
