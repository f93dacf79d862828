"""`python -m paif_ros.replay`."""

from paif_ros.replay.main import main

if __name__ == '__main__':
    main()
