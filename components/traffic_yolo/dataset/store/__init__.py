"""A folder that keeps data sets by their content, for steps that hand on references instead of pictures."""
