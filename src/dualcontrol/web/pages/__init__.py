"""The pages, one file per resource; all work without JavaScript, every decision is the POST of a form."""
