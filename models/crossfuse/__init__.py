"""CrossFuse: fusion by features of low and high frequency, trained across sensors."""
