"""How well boxes fit the truth: matching, COCO metrics, operating points, intervals."""
