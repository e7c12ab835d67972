"""What users may use and spend: plans, and what is different for single users."""
