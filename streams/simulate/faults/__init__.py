"""What goes wrong and why: causes and what each side sees of them, and when and where they strike."""
