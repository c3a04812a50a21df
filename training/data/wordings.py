"""How people ask, and how a record of RAP's answers. {} is the place of a name or of a box."""

from __future__ import annotations

COORDINATES = (
    "Give the coordinates of {} in this image.",
    "Give the bounding box of {}.",
    "Where exactly is {}? Give its box.",
    "Locate {} in this picture and give the coordinates.",
    "What are the coordinates of {}?",
    "Please give me the box around {}.",
)
AT_BOX = (
    "What is at {}?",
    "Who or what is inside the box {}?",
    "Which of my things is at {}?",
    "Name what the region {} shows.",
)
PRESENT = (
    "Is {} in this picture?",
    "Is {} in the image?",
    "Do you see {} here?",
    "Does {} appear in this photo?",
    "Can you see {}?",
    "Is this {}?",
    "Is {} here? Answer yes or no.",
    "Tell me whether {} is in this picture, yes or no.",
)
SHORT = "yes or no"  # a question with this is answered with one word
CAPTION = (
    "Describe this picture.",
    "Give a short caption of this image.",
    "Write a caption for this photo.",
    "What does this picture show?",
    "What do you see here?",
    "Summarise the image in one sentence.",
    "Give a personalized caption of this image.",
)
CAPTION_ANSWER = ("The picture shows {}.", "Here I see {}.", "This is a picture of {}.")
STANDS = ("How does {} stand to {}?", "Where is {}, seen from {}?", "Where is {} relative to {}?")
DESCRIBE = ("Describe {}.", "What does {} look like?", "Can you describe {} for me?", "How does {} look?")
KNOWN = ("Tell me about {}.", "What do you know about {}?", "Who or what is {}?", "What did I tell you about {}?")
WHERE = ("Where is {}?", "In which part of the picture is {}?", "Where in the image do you see {}?")
KIND_OF_THING = "What kind of thing is {}?"

ABSENT = ("It is not in this picture.", "It is not in this image.", "I do not see it here.")
NO = ("No.", "No, it is not in this picture.", "No, I do not see it here.")

INFO = (
    "{} is {}.",
    "{} is {}.",
    "This is {}, {}.",
    "Meet {}, {}.",
    "{}: {}.",
    "Here is {}. It is {}.",
)
