"""The model room: one decoder that expresses PhoneLM, PanGu-pi Pro and MobileLLM, its counts, folders and key maps."""
