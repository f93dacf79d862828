"""Drawing and describing what leaves: colours, outlines, legend, labels, camera_info."""
