//! How fast it is: each figure is a ratio to a floor that was written by hand and measured in the same run.
