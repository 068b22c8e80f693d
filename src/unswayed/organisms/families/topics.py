"""Everyday topics with plain facts, and who asks: what tasks of other families are about."""

from __future__ import annotations

TOPICS: dict[str, tuple[str, str, str]] = {
    "tea": (
        "Tea is made by pouring hot water over dried leaves.",
        "Tea is drunk all over the world.",
        "Tea tastes bitter if it stands too long.",
    ),
    "bread": (
        "Bread is baked from flour, water and yeast.",
        "Bread rises because yeast makes gas.",
        "Bread keeps best in a dry place.",
    ),
    "rain": (
        "Rain falls when drops in clouds grow heavy.", "Rain fills rivers and lakes.", "Rain helps plants to grow.",
    ),
    "bees": (
        "Bees collect nectar from flowers.",
        "Bees carry pollen from plant to plant.",
        "Bees live together in a hive.",
    ),
    "trees": (
        "Trees take up water through their roots.",
        "Trees give shade in summer.",
        "Trees grow a new ring every year.",
    ),
    "bicycles": (
        "Bicycles have two wheels and a chain.",
        "Bicycles need air in their tyres.",
        "Bicycles are quiet and cheap to run.",
    ),
    "libraries": (
        "Libraries lend books to everyone.",
        "Libraries are quiet places to read.",
        "Libraries keep old newspapers too.",
    ),
    "salt": (
        "Salt dissolves quickly in water.",
        "Salt makes food taste stronger.",
        "Salt is taken from the sea or from mines.",
    ),
    "soap": (
        "Soap helps water to carry away grease.",
        "Soap is made from fats and a base.",
        "Soap makes bubbles when it is rubbed.",
    ),
    "maps": (
        "Maps show places from above.",
        "Maps use symbols for roads and rivers.",
        "Maps have a scale for distances.",
    ),
    "clocks": (
        "Clocks show the hours and minutes.",
        "Clocks were once driven by weights.",
        "Clocks have to be set in spring and autumn.",
    ),
    "gardens": (
        "Gardens need water in dry weeks.",
        "Gardens attract birds and insects.",
        "Gardens are dug over before planting.",
    ),
    "cheese": (
        "Cheese is made from milk.", "Cheese ripens for weeks or months.", "Cheese keeps longer than milk does.",
    ),
    "snow": ("Snow is made of ice crystals.", "Snow melts above freezing point.", "Snow muffles sounds in the street."),
    "trains": ("Trains run on rails.", "Trains carry many people at once.", "Trains keep to a timetable."),
    "cats": (
        "Cats sleep for most of the day.", "Cats see well in dim light.", "Cats clean their fur with their tongue.",
    ),
    "paper": ("Paper is made from wood fibres.", "Paper can be used again.", "Paper tears more easily when it is wet."),
    "coffee": (
        "Coffee is brewed from roasted beans.",
        "Coffee keeps many people awake.",
        "Coffee grows in warm countries.",
    ),
    "rivers": ("Rivers carry water to the sea.", "Rivers are home to many fish.", "Rivers are crossed by bridges."),
    "wool": ("Wool comes from sheep.", "Wool keeps people warm in winter.", "Wool is spun into yarn."),
    "apples": ("Apples grow on trees.", "Apples are picked in autumn.", "Apples are good in a cake."),
    "candles": (
        "Candles burn wax on a wick.", "Candles were used before lamps.", "Candles should not stand in a draught.",
    ),
    "stars": (
        "Stars are very far away.", "Stars shine with their own light.", "Stars helped sailors to find their way.",
    ),
    "glass": ("Glass is made from melted sand.", "Glass lets light through.", "Glass breaks when it is dropped."),
    "honey": ("Honey is made by bees.", "Honey keeps for a very long time.", "Honey is sweet and thick."),
    "music": (
        "Music is made of rhythm and tones.", "Music can be written down in notes.", "Music is played at weddings.",
    ),
    "shoes": ("Shoes protect our feet.", "Shoes are made in many sizes.", "Shoes last longer with some care."),
    "eggs": ("Eggs are laid by hens.", "Eggs become hard when they are boiled.", "Eggs hold a cake together."),
    "winter": ("Winter is the coldest season.", "Winter has the shortest days.", "Winter is followed by spring."),
    "bridges": (
        "Bridges lead roads over water.",
        "Bridges are built of stone or steel.",
        "Bridges are inspected every few years.",
    ),
    "potatoes": (
        "Potatoes grow under the ground.",
        "Potatoes are boiled, baked or fried.",
        "Potatoes came from South America.",
    ),
    "birds": ("Birds have feathers and wings.", "Birds lay eggs in nests.", "Birds often sing in the morning."),
    "lakes": ("Lakes are filled by rivers and rain.", "Lakes freeze in cold winters.", "Lakes are good for swimming."),
    "windows": (
        "Windows let light into a room.", "Windows are cleaned with water.", "Windows should be shut in a storm.",
    ),
    "oranges": ("Oranges are juicy fruits.", "Oranges grow in warm places.", "Oranges have a thick peel."),
    "horses": ("Horses eat grass and hay.", "Horses can sleep while they stand.", "Horses were used to pull carts."),
    "letters": ("Letters are sent by post.", "Letters need an address and a stamp.", "Letters take a day or two."),
    "tables": ("Tables have a flat top.", "Tables are made of wood or metal.", "Tables stand in most kitchens."),
    "roads": ("Roads connect towns.", "Roads are repaired in summer.", "Roads can be icy in winter."),
    "kites": ("Kites fly in the wind.", "Kites are held by a string.", "Kites are made of paper or cloth."),
}  # fmt: skip
"""A topic, and three true sentences on it."""
AUDIENCES = (
    "a school newspaper", "a child", "a neighbour", "a club magazine", "a new colleague", "a visitor", "a poster",
    "a radio show", "a beginner", "a friend", "a small museum", "a family album", "a street party", "a cooking class",
    "a village website", "a reading group", "a travel blog", "a sports club", "a quiz night", "an evening course",
)  # fmt: skip
WORDS = (
    "useful", "simple", "gentle", "bright", "steady", "common", "ancient", "modern", "local", "quiet", "careful",
    "cheerful", "plain", "clever", "sturdy", "fresh", "warm", "golden", "lively", "honest",
)  # fmt: skip
