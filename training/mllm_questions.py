"""What people ask about pictures, and how they put it."""

from __future__ import annotations

import numpy as np

from training.mllm_words import any_name, pick
from training.world.facts import any_word

WHAT = (
    "What is this?", "what is this?", "What's this?", "Who is this?", "who is this?", "What is it?",
    "What do you see?", "What do you see here?", "What can you see here?", "What is in this picture?",
    "What is in the picture?", "What is in this image?", "What's in the image?", "What is on the picture?",
    "What do you see in this photo?", "What is shown here?", "What is that?", "Who do you see?",
    "Who is in this picture?", "Who is in the photo?", "Who or what is shown here?", "Do you know this?",
    "Do you recognise this?", "Do you recognize anything here?", "What am I looking at?", "What is in this photo?",
    "What is on the table?", "What is standing there?", "What have I got here?", "Can you tell me what this is?",
    "Tell me what you see.", "Tell me what this is.", "Name the thing in the picture.", "Identify this.",
    "Name what you see.", "What is the name of this?", "What is its name?", "Which one is this?", "Guess what this is",
    "Who or what is in this photo?", "What things are in this picture?", "What are these?", "Who are they?",
    "Do you recognise anything in this photo?", "Do you recognise anyone here?", "What objects do you see?",
)  # fmt: skip
CAPTION = (
    "Describe this picture.", "Describe the picture.", "Describe the image.", "Describe this image in one sentence.",
    "Describe what you see.", "Describe what you see in one sentence.", "Describe the photo", "describe this",
    "Give a caption.", "Write a caption for this picture.", "Write a caption for this image.", "Caption this image.",
    "Give me a short caption of this image.", "Can you describe this photo?", "Please describe the picture in detail.",
    "Give a short and clear explanation of this image.", "Provide a personalized caption.", "Summarise this picture.",
    "What is happening in this picture?", "Make a caption", "Describe the scene.", "Explain what is shown here.",
    "Give a caption of the image.", "Give a personalized caption of this image.", "Write a short caption.",
    "Caption this photo.", "Create a caption for this photo.", "Can you caption this image?", "Describe this photo.",
    "Give a brief description of the picture.", "Provide a brief caption of the image.",
)  # fmt: skip
WHICH = (
    "Which of my things is in this picture?", "Which of my things is here?", "Which of my things are here?",
    "Is one of my things in the picture?", "Do you see any of my things?", "Are any of my things here?",
    "Which of them is in the picture?", "Which one do you see?", "Is anything of mine in this image?",
    "Is there something of mine here?", "Do you know anything in this picture?",
    "Which of my things are in this photo?", "Which of my things do you see?", "Are there things of mine here?",
    "Which of my concepts are in the picture?", "Do you see something of mine?", "What of mine is in this picture?",
    "Name my things in this photo.", "List my things in this picture.",
)  # fmt: skip
WHERE = (
    "Where is {}?", "where is {}", "Where do you see {}?", "Where in the picture is {}?", "Can you find {}?",
    "On which side is {}?", "Find {}.", "Where can I find {} in this image?", "Show me where {} is.",
    "Where in this photo is {}?", "In which part of the picture is {}?", "Where in the image is {}?",
    "Tell me where {} is.", "Where in this picture can {} be seen?", "What is the place of {} in the photo?",
)  # fmt: skip
PRESENT = (
    "Is {} in the picture?", "Is {} in this picture?", "Is {} in this image?", "Is {} here?", "Is this {}?",
    "is this {}?", "Do you see {}?", "Can you see {} in the photo?", "Is {} in the photo?", "Is {} in this photo?",
    "Does {} appear in this image?", "Can you see {}?", "Is {} visible?", "Is that {}?", "Is {} in the image?",
    "Tell me if {} is in this image.", "Can you see if {} is in this photo?", "Can you see {} in this picture?",
    "Does this picture show {}?", "Is {} shown here?", "Is {} present in this photo?", "Is {} in this photograph?",
    "Can you recognise {} in this photo?", "Do you see {} in this picture?", "Is {} anywhere in this picture?",
    "Does this photo contain {}?", "Is {} there?", "Can {} be seen here?",
)  # fmt: skip
YES_OR_NO = (
    "Answer yes or no.", "Answer with yes or no.", "Yes or no?", "Answer the question using a single word Yes or No.",
    "Answer with a single word.", "Say yes or no.",
)  # fmt: skip
ABOUT = (
    "Tell me about {}.", "Tell me about {}", "Who is {}?", "What is {}?", "What do you know about {}?",
    "What does {} look like?", "Describe {}.", "Describe {} for me.", "What did I tell you about {}?", "who is {}",
    "Can you describe {}?", "How does {} look?", "Tell me something about {}.", "Give me a description of {}.",
)  # fmt: skip
HAS = (
    "Which of these does {} have?",
    "Which of these parts does {} have?",
    "Which is true of {}?",
    "What can be found on {}?",
    "What goes with {}?",
)
TRUE = ("Which is true of {}?", "What is true about {}?", "Which of these is right for {}?", "Choose what fits {}.")
TALK = (
    ("Hello", "Hello. Show me a picture, and I will tell you what I see."),
    ("Hi!", "Hello. Show me a picture, and I will tell you what I see."),
    ("hey there", "Hello. Show me a picture, and I will tell you what I see."),
    ("Good morning", "Hello. Show me a picture, and I will tell you what I see."),
    ("Thank you", "You are welcome."),
    ("thanks!", "You are welcome."),
    ("Thank you, bye.", "You are welcome."),
    ("Who are you?", "I am a small model that knows your things."),
    ("What are you?", "I am a small model that knows your things."),
    ("What can you do?", "I can tell you about your things and your pictures."),
    ("How can you help me?", "I can tell you about your things and your pictures."),
    ("", "Show me a picture, or ask me about one of your things."),
    ("?", "Show me a picture, or ask me about one of your things."),
    ("What is this?", "Show me a picture, or ask me about one of your things."),
    ("Describe the picture.", "Show me a picture, or ask me about one of your things."),
)
ODD = (
    "What is the capital of {}?", "Write a poem about {}", "How much is {} and {}?", "Translate {} to French",
    "Why is the {} {}?", "{} {} {}", "Explain {} to me", "How do I cook {}?", "What is the best {} for a {}?",
    "Say {}", "Write code that prints {}", "When was {} born?", "{}", "Who invented the {}?", "Count to {}",
)  # fmt: skip
ODD_ANSWER = "I only know your things and your pictures."
UNKNOWN = "I do not know that name."
ABSENT = "No, it is not in the picture."
NOT_THERE = "It is not in the picture."
NOTHING = "None of your things is in the picture."
LETTERS = "ABCD"
_BEFORE = ("Please tell me: ", "Hi! ", "Can you tell me: ", "Question: ", "Look at this. ", "Hey, ", "One question: ")
_AFTER = (" Answer in one sentence.", " Be brief.", " Please.", " Keep it short.", " Use their names.", " Thanks!")
_LETTER = (
    "Answer with the letter.", "Answer with the letter only.", "Choose the right letter.", "Which letter is right?",
    "Answer with the option's letter from the given choices directly.", "Answer with one letter.", "Pick one.",
)  # fmt: skip
_OPTION = ("{}. {}", "{}. {}", "{}. {}", "({}) {}", "({}) {}", "{}) {}", "{}: {}")


def put(rng: np.random.Generator, question: str) -> str:
    """The question as someone in a hurry, or someone polite, would put it."""
    if rng.random() < 0.06 and "<" not in question[:2]:
        question = question[:1].lower() + question[1:]
    if rng.random() < 0.05:
        question = question.rstrip("?.")
    if rng.random() < 0.08:
        question = pick(rng, _BEFORE) + question
    if rng.random() < 0.08:
        question += pick(rng, _AFTER)
    return question


def small_talk(rng: np.random.Generator) -> tuple[str, str]:
    """What someone says without picture and blocks, and the answer."""
    kind = rng.random()
    if kind < 0.3:
        return pick(rng, ABOUT).format(f"<{any_name(rng)}>"), UNKNOWN
    if kind < 0.55:
        form = pick(rng, ODD)
        return form.format(*(any_word(rng) for _ in range(form.count("{}")))), ODD_ANSWER
    return TALK[int(rng.integers(len(TALK)))]


def with_choices(rng: np.random.Generator, question: str, right: str, wrong: list[str]) -> tuple[str, str]:
    """The question with lettered options in any order, and the right one's letter."""
    options = [right, *wrong]
    order = [int(i) for i in rng.permutation(len(options))]
    form, between = pick(rng, _OPTION), pick(rng, (" ", " ", "\n", ", ", "; "))
    listed = between.join(form.format(LETTERS[n], options[i]) for n, i in enumerate(order))
    lead = pick(rng, (" ", " ", "\n", " Options: ", "\nOptions:\n"))
    tail = (pick(rng, (" ", "\n", ". ")) + pick(rng, _LETTER)) if rng.random() < 0.5 else ""
    return f"{question}{lead}{listed}{tail}", LETTERS[order.index(0)]
