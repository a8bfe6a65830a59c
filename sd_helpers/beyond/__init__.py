"""What part two of the lessons builds on the loop: steering by a loss, learned words, attention, editing."""
