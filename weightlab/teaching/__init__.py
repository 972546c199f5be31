"""What a page of the course needs and no single lab owns: checks, reports, grading, the site."""
