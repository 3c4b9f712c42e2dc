"""What JetBackup 5 asks of a panel: its PHP classes (`Panel/`), and the answers that they get from this program."""
