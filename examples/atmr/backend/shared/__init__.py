"""What several parts of the application use: the vault, encryption, fingerprints."""
