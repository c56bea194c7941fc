"""Why a phone did not get a message, in sentences, in the order of cause."""
