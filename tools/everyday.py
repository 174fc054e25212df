"""Writes cwpo/data/everyday.jsonl: preference pairs of everyday advice, made by a rule out of sentences written for it.

    python -m tools.everyday

Nobody was asked. An answer's worth is a sum over its sentences (`WORTH`), and the label is drawn with the probability
σ((worth of one − worth of the other) / τ), so that near ties are often labeled wrongly. Sentences, rule and pairs are
part of this program and under its licence, Apache-2.0.
"""

import json
import math
import random
from pathlib import Path
from typing import Any

FILE = Path(__file__).resolve().parents[1] / "cwpo" / "data" / "everyday.jsonl"
SEED, NOISE, PAIRS_OF_A_PROMPT = 2026, 0.8, 2
WORTH = {"tip": 1.0, "friendly": 0.5, "offer": 0.25, "vague": -0.5, "other": -1.0, "rude": -1.5}
FORMS = (
    "How do I {}?",
    "What is the best way to {}?",
    "I want to {}. Any advice?",
    "Can you tell me how to {}?",
    "I have never tried to {}. Where do I start?",
    "Please help me to {}.",
)
FRIENDLY = ("Sure, I am happy to help.", "Of course, here is what works.", "Good that you ask.", "Gladly.")
RUDE = ("That is a silly question.", "You should know this by now.", "Why do you bother me with that?",
        "Do not ask me again.", "Find out the rest yourself.")  # fmt: skip
VAGUE = ("It depends on many things.", "There are many ways to do it.", "Just do what feels right.",
         "Somebody else may know better.", "It is hard to say.")  # fmt: skip
OFFERS = ("Tell me if anything is unclear.", "If you say more about it, I can say more.", "I can go into detail.")
# What is asked, and three things that help.
TOPICS: dict[str, tuple[str, str, str]] = {
    "clean a kettle": (
        "Fill it with equal parts of water and vinegar.", "Let it stand for an hour and bring it to the boil.",
        "Rinse it three times with fresh water."),
    "bake a simple bread": (
        "Mix flour, water, salt and a little yeast.", "Let the dough rise until it is twice as large.",
        "Bake it in a hot oven until the crust sounds hollow."),
    "fall asleep earlier": (
        "Dim the lights an hour before bed.", "Get up at the same time every day.", "Drink no coffee after lunch."),
    "learn twenty new words a week": (
        "Write each word on a small card.", "Look at the cards for ten minutes each morning.",
        "Use every word in a sentence of your own."),
    "repair a flat bicycle tyre": (
        "Take the wheel off and pull out the tube.", "Find the hole by holding the tube under water.",
        "Roughen the rubber, glue on a patch and press it hard."),
    "save money on food": (
        "Plan the meals of the week before you shop.", "Cook twice as much and freeze one half.",
        "Compare the price for a kilogram, not for a packet."),
    "keep basil alive": (
        "Put it into a larger pot with fresh soil.", "Water it from below and let the soil dry a little.",
        "Cut the tips so that it grows bushy."),
    "write a short letter of thanks": (
        "Name the gift or the help that you thank for.", "Say what it has changed for you.",
        "Close with a wish for the other person."),
    "pack for a weekend": (
        "Lay everything out on the bed first.", "Roll clothes in place of folding them.",
        "Take half of what you think you need."),
    "start running": (
        "Run slowly enough to talk.", "Change between one minute of running and one of walking.",
        "Rest a day after each run."),
    "remove a coffee stain": (
        "Dab it at once with cold water.", "Put a little dish soap on it and wait ten minutes.",
        "Wash it before it dries."),
    "choose a ripe melon": (
        "Take one that is heavy for its size.", "Knock on it and listen for a deep sound.",
        "Smell the end where the stem was."),
    "prepare for an interview": (
        "Read what the company says about itself.", "Practise three short stories about your work.",
        "Write down two questions of your own."),
    "calm a barking dog": (
        "Stay quiet yourself and do not shout.", "Lead it away from what it barks at.",
        "Praise it as soon as it is silent."),
    "organise a small desk": (
        "Take everything off and wipe it clean.", "Put back only what you use every day.",
        "Keep papers in one tray that you empty on Fridays."),
    "cook rice": (
        "Rinse it until the water stays clear.", "Take one and a half cups of water for a cup of rice.",
        "Leave the lid on for ten minutes after the heat is off."),
    "plant tomatoes": (
        "Wait until the nights are free of frost.", "Set the plant deep, up to its first leaves.",
        "Tie it to a stick and water the soil, not the leaves."),
    "make friends in a new town": (
        "Join a group that meets every week.", "Say yes to invitations in the first months.",
        "Ask people about themselves and remember their names."),
    "read more books": (
        "Carry a book wherever you go.", "Read ten pages before you look at the phone.",
        "Give up books that bore you."),
    "sharpen a kitchen knife": (
        "Wet the stone and lay the blade at a small angle.", "Draw it along the stone ten times on each side.",
        "Finish on the fine side of the stone."),
    "take better photographs": (
        "Stand so that the light falls from the side.", "Go one step closer than you first wanted.",
        "Keep the horizon level."),
    "unclog a sink": (
        "Pull out hair and dirt with a bent wire.", "Pour hot water with baking soda into it.",
        "Work a plunger up and down twenty times."),
    "speak in front of a group": (
        "Practise the first two sentences by heart.", "Look at one friendly face after another.",
        "Make a pause after each important point."),
    "care for leather shoes": (
        "Brush off dust while the shoes are dry.", "Rub in a thin layer of cream and wait.",
        "Put wooden shoe trees into them overnight."),
    "plan a birthday party": (
        "Fix the date and the number of guests first.", "Choose food that can be made the day before.",
        "Ask one friend to look after the music."),
    "keep a diary": (
        "Write at the same hour every day.", "Begin with one thing that you noticed.",
        "Three lines are enough on a bad day."),
    "hang a picture straight": (
        "Mark the height with a pencil.", "Use two nails in place of one.",
        "Check it with a level before you step back."),
    "make good coffee": (
        "Grind the beans just before you brew.", "Use water that has stopped boiling for half a minute.",
        "Take sixty grams of coffee for a litre."),
    "teach a child to swim": (
        "Begin where the child can stand.", "Let it blow bubbles before anything else.",
        "Hold it under the back while it learns to float."),
    "lower an electricity bill": (
        "Switch devices off at the socket.", "Wash at a lower temperature.",
        "Replace old bulbs by LED lamps."),
    "store potatoes": (
        "Keep them in a dark and cool place.", "Lay them in a paper bag that lets air through.",
        "Keep them away from onions."),
    "get over a cold": (
        "Rest and sleep as much as you can.", "Drink warm tea and plenty of water.",
        "See a doctor if the fever stays for three days."),
    "train for a long hike": (
        "Walk a little farther every week.", "Wear the boots at home before the tour.",
        "Carry a light pack on your training walks."),
    "wash a wool sweater": (
        "Use cold water and a mild soap.", "Press the water out without wringing.",
        "Dry it flat on a towel."),
    "learn the guitar": (
        "Begin with three easy chords.", "Practise fifteen minutes every day.",
        "Change between chords slowly until it is smooth."),
    "write a clear email": (
        "Say in the first line what you want.", "Keep to one subject in each message.",
        "End with the date by which you need an answer."),
    "boil an egg": (
        "Let the water boil before the egg goes in.", "Take it out after six minutes for a soft one.",
        "Cool it under cold water at once."),
    "clean windows": (
        "Wipe the dust off the frames first.", "Use warm water with a drop of dish soap.",
        "Pull the water off from the top to the bottom."),
    "find a lost key": (
        "Go back in your mind to when you used it last.", "Search one room completely before the next.",
        "Look in pockets and bags a second time."),
    "grow herbs indoors": (
        "Place the pots at the brightest window.", "Turn them a little every few days.",
        "Harvest often, but never more than a third."),
    "settle a quarrel with a neighbour": (
        "Talk at a time when both are calm.", "Say how it affects you without blame.",
        "Agree on one thing that each will change."),
    "choose a bicycle helmet": (
        "Measure your head above the eyebrows.", "It must not move when you shake your head.",
        "Replace it after any fall."),
    "make a budget": (
        "Write down all you spend for one month.", "Pay rent and savings before everything else.",
        "Set one sum for the week and keep to it."),
    "paint a wall": (
        "Cover the floor and tape the edges.", "Roll the paint on in the form of a W.",
        "Let the first coat dry before the second."),
    "water plants on a holiday": (
        "Group the pots in the shade.", "Put a bottle with a small hole upside down into the soil.",
        "Ask a neighbour to look once a week."),
    "get a good seat on a train": (
        "Reserve it as soon as you book.", "Wait where the middle of the train will stop.",
        "Travel outside the rush hours."),
    "study for an exam": (
        "Divide the matter into days.", "Explain each part aloud in your own words.",
        "Work through old exams with a clock."),
    "make a salad dressing": (
        "Mix three parts of oil with one of vinegar.", "Add salt and mustard before the oil.",
        "Shake it in a closed jar."),
}  # fmt: skip


def answer(topic: str, dice: random.Random) -> list[tuple[str, str]]:
    """Sentences with their kinds; the better the answer is meant, the more of them help."""
    good = dice.random()
    others = [tip for name, tips in TOPICS.items() if name != topic for tip in tips]
    said: list[tuple[str, str]] = []
    first = dice.random()
    if first < 0.6 * good:
        said.append(("friendly", dice.choice(FRIENDLY)))
    elif first > 1 - 0.35 * (1 - good):
        said.append(("rude", dice.choice(RUDE)))
    if dice.random() < 0.5 * (1 - good):
        said.append(("vague", dice.choice(VAGUE)))
    for tip in TOPICS[topic]:
        drawn = dice.random()
        if drawn < 0.15 + 0.65 * good:
            said.append(("tip", tip))
        elif drawn > 1 - 0.3 * (1 - good):
            said.append(("other", dice.choice(others)))
    if dice.random() < 0.4 * good:
        said.append(("offer", dice.choice(OFFERS)))
    return said or [("vague", dice.choice(VAGUE))]


def worth(said: list[tuple[str, str]]) -> float:
    """The sum over the sentences."""
    return sum(WORTH[kind] for kind, _ in said)


def text(said: list[tuple[str, str]]) -> str:
    """The answer as it is read."""
    return " ".join(sentence for _, sentence in said)


def pairs() -> list[dict[str, Any]]:
    """Every prompt, as a chat message, with its pairs; the preferred answer as chosen."""
    found = []
    for topic in TOPICS:
        for form in FORMS:
            prompt = form.format(topic)
            for number in range(PAIRS_OF_A_PROMPT):
                dice = random.Random(f"{SEED}:{prompt}:{number}")
                one, other = answer(topic, dice), answer(topic, dice)
                while text(other) == text(one):
                    other = answer(topic, dice)
                if dice.random() >= 1 / (1 + math.exp((worth(other) - worth(one)) / NOISE)):
                    one, other = other, one
                asked = [{"role": "user", "content": prompt}]
                found.append({"prompt": asked, "chosen": text(one), "rejected": text(other)})
    return found


def main() -> None:
    FILE.write_text("".join(json.dumps(pair) + "\n" for pair in pairs()), encoding="utf-8")
    print(f"{FILE}: {len(pairs())} pairs")


if __name__ == "__main__":
    main()
