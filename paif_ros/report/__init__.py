"""One self-contained HTML file on a run: `python -m paif_ros.report RUN_FOLDER -o report.html`."""
