"""What every part uses: errors, types, seeding, hashing, files, text from outside. Imports no torch."""
