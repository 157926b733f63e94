"""A model that is there already, Darknet's files or a version of a zoo, as the model folder that the steps read."""
