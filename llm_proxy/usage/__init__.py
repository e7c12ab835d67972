"""What model calls and agent turns have used and cost."""
