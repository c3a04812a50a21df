"""What schemas cannot say: each rule takes all objects of an overlay and yields a line for each that breaks it."""
