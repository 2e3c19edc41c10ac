"""Words of English captions that can be replaced by another of their class, and where they must not be.

A class holds members; a member holds forms that mean the same or nearly the same, and is replaced by a form of another
member. Left out on purpose, because they mean several things or would break the sentence: orange, gold, glass, paper,
short, long, little, one, bear, up, down.
"""

# (member, member, …); the first form of a member that fits the article is the one that is put in.
CLASSES: dict[str, tuple[tuple[str, ...], ...]] = {
    "colour": (
        ("red",), ("yellow",), ("green",), ("blue",), ("purple", "violet"), ("pink",), ("brown",), ("black",),
        ("white",), ("gray", "grey"),
    ),
    "size": (("small", "tiny"), ("large", "big", "huge", "enormous")),
    "age": (("young",), ("old", "elderly")),
    "material": (
        ("metal", "steel", "iron"), ("plastic",), ("brick",), ("concrete", "cement"), ("leather",), ("wooden",),
    ),
    "count": (
        ("two",), ("three",), ("four",), ("five",), ("six",), ("seven",), ("eight",), ("nine",), ("ten",),
        ("eleven",), ("twelve", "a dozen"),
    ),
    "number": tuple((str(number),) for number in range(2, 13)),
    "left or right": (("left",), ("right",)),
    "above or below": (
        ("over", "above", "on top of", "atop"), ("under", "below", "beneath", "underneath"),
    ),
    "before or behind": (("in front of",), ("behind",)),
    "inside or outside": (("inside",), ("outside",)),
    "near or far": (("next to", "beside"), ("far from",)),
    "person": (("man", "gentleman"), ("woman", "lady"), ("boy",), ("girl",)),
    "people": (("men", "gentlemen"), ("women", "ladies"), ("boys",), ("girls",)),
    "animal": (("dog", "puppy"), ("cat", "kitten"), ("horse",), ("cow",), ("elephant",), ("giraffe",), ("zebra",)),
    "animals": (
        ("dogs", "puppies"), ("cats", "kittens"), ("horses",), ("cows",), ("elephants",), ("giraffes",), ("zebras",),
    ),
    "vehicle": (
        ("car",), ("truck",), ("bus",), ("train",), ("bicycle", "bike", "motorcycle", "motorbike"), ("boat", "ship"),
        ("plane", "airplane", "aeroplane"),
    ),
    "vehicles": (
        ("cars",), ("trucks",), ("buses",), ("trains",), ("bicycles", "bikes", "motorcycles", "motorbikes"),
        ("boats", "ships"), ("planes", "airplanes", "aeroplanes"),
    ),
    "sport": (("tennis",), ("baseball",), ("soccer", "football"), ("basketball",), ("hockey",), ("golf",)),
}  # fmt: skip

# Forms that are replaced but never put in: "made of wooden" is no English, and "a dozen" brings an article.
NEVER_PUT_IN = {"wooden", "a dozen"}

_PEOPLE = {
    "man", "men", "woman", "women", "person", "people", "persons", "boy", "boys", "girl", "girls", "guy", "guys",
    "lady", "ladies", "gentleman", "gentlemen", "male", "males", "female", "females", "child", "children", "kid",
    "kids", "baby", "couple", "family", "folks",
}  # fmt: skip
_COLOURS = [form for member in CLASSES["colour"] for form in member]
_SIDES = {"side", "hand", "arm", "leg", "foot", "corner"}
_UNITS = {"year", "years", "month", "months", "week", "weeks", "day", "days", "yr", "yrs"}
_DETERMINERS = {
    "a", "an", "the", "his", "her", "its", "their", "my", "our", "your", "some", "each", "another", "this", "that",
    "these", "those", "two", "three", "four",
}  # fmt: skip

# The word before or after makes it something else: a hot dog, a ten year old boy, a train station. The colour of
# people is left alone.
NOT_AFTER: dict[str, set[str]] = {
    **dict.fromkeys(("dog", "dogs"), {"hot", "corn"}),
    "old": _UNITS,
    "left": {"is", "are", "was", "were", "s"},
    "behind": {"from"},
    "outside": {"from"},
    "inside": {"from"},
    "over": {"all"},
    "man": {"snow", "no"},
    "metal": {"heavy"},
    "a dozen": {"half"},
}
NOT_BEFORE: dict[str, set[str]] = {
    **dict.fromkeys(_COLOURS, _PEOPLE),
    **dict.fromkeys(("train", "bus"), {"station", "stop", "stops", "track", "tracks"}),
    "zebra": {"crossing", "crossings"},
    "man": {"made"},
    "old": {"fashioned"},
    "big": {"ben"},
    "a dozen": {"of"},
}
# Only with such a word after it: "over the fence", not "leaning over".
ONLY_BEFORE: dict[str, set[str]] = {
    **dict.fromkeys(CLASSES["above or below"][0] + CLASSES["above or below"][1] + ("behind", "beside"), _DETERMINERS),
    **dict.fromkeys(("left", "right"), _SIDES | {"of"}),
    **{form: {"player", "players", "game", "match", "team"} for member in CLASSES["sport"] for form in member},
}
# … or with such a word before it: "on the left".
OR_AFTER: dict[str, set[str]] = {
    **dict.fromkeys(
        ("left", "right"), {"the", "his", "her", "its", "their", "far", "upper", "lower", "top", "bottom"}
    ),
}
