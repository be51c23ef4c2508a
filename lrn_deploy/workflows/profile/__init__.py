"""How long every artifact takes, where its time goes, and what the machine could do."""
