"""Looking at a running node: in a browser (`python -m paif_ros.view`) and in Rerun."""
