"""What an annotator tells us: pairs, thumbs, scores, and preference files."""
