"""ADE20K's scene parsing benchmark (Zhou et al., 2017): 150 classes of scenes indoors and outdoors."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from segexp.data.labelled import LabelledFiles, ValueTable, fingerprint
from segexp.data.palette import voc_color
from segexp.errors import ConfigError
from segexp.types import ClassInfo, DataSpec

# the first name of each line of objectInfo150.txt, in its order
_LISTED = (
    "wall,building,sky,floor,tree,ceiling,road,bed,windowpane,grass,cabinet,sidewalk,person,earth,door,table,mountain,plant,curtain,"
    "chair,car,water,painting,sofa,shelf,house,sea,mirror,rug,field,armchair,seat,fence,desk,rock,wardrobe,lamp,bathtub,railing,cushion,"
    "base,box,column,signboard,chest of drawers,counter,sand,sink,skyscraper,fireplace,refrigerator,grandstand,path,stairs,runway,case,"
    "pool table,pillow,screen door,stairway,river,bridge,bookcase,blind,coffee table,toilet,flower,book,hill,bench,countertop,stove,palm,"
    "kitchen island,computer,swivel chair,boat,bar,arcade machine,hovel,bus,towel,light,truck,tower,chandelier,awning,streetlight,booth,"
    "television receiver,airplane,dirt track,apparel,pole,land,bannister,escalator,ottoman,bottle,buffet,poster,stage,van,ship,fountain,"
    "conveyer belt,canopy,washer,plaything,swimming pool,stool,barrel,basket,waterfall,tent,bag,minibike,cradle,oven,ball,food,step,tank,"
    "trade name,microwave,pot,animal,bicycle,lake,dishwasher,screen,blanket,sculpture,hood,sconce,vase,traffic light,tray,ashcan,fan,pier,"
    "crt screen,plate,monitor,bulletin board,shower,radiator,glass,clock,flag"
)
NAMES = tuple(_LISTED.split(","))
OTHER = 0  # in the files: none of the 150
FOLDERS = {"train": "images/training", "val": "images/validation", "test": "release_test/testing"}


class ADE20K:
    """Pictures in `images/{training,validation}/`, labels of the same name in `annotations/`; `release_test/testing/` has no labels.

    In the files 0 is whatever is none of the classes (ignored) and class i has the value i + 1. The colours are VOC's. No
    class is marked as a thing: the benchmark is one of class maps.

    Args:
        root: the folder `ADEChallengeData2016`.
    """

    spec = DataSpec(
        tuple(ClassInfo(name, color=voc_color(value)) for value, name in enumerate(NAMES, 1)),
        frozenset({"semantic"}),
        values=tuple(range(1, len(NAMES) + 1)),
    )

    def __init__(self, *, root: str) -> None:
        self.root = Path(root)

    @property
    def splits(self) -> tuple[str, ...]:
        """Those with labels that are there; `test`, which has none, can be opened all the same."""
        return tuple(name for name in ("train", "val") if (self.root / FOLDERS[name]).is_dir())

    @property
    def unlabelled(self) -> tuple[str, ...]:
        """`test` where its pictures are there."""
        return ("test",) if any((self.root / FOLDERS["test"]).glob("*.jpg")) else ()

    def open(self, split: str) -> LabelledFiles:
        """The pictures of a split in the order of their names; `test` has no labels.

        Raises:
            ConfigError: the folder or the split isn't there.
        """
        if not self.splits:
            raise ConfigError(
                "ADE20K is not there",
                where=f"{self.root} (data.root)",
                fix="fetch ADEChallengeData2016.zip (sceneparsing.csail.mit.edu) and unpack it there: images/training/*.jpg, "
                "annotations/training/*.png, the same for validation",
            )
        if split not in FOLDERS or not (self.root / FOLDERS[split]).is_dir():
            there = [name for name, folder in FOLDERS.items() if (self.root / folder).is_dir()]
            raise ConfigError(f"ADE20K has no split {split!r}", where=str(self.root), fix=f"data.split={'|'.join(there)}")
        pictures = sorted((self.root / FOLDERS[split]).glob("*.jpg"))
        table = ValueTable(self.spec.values or (), [OTHER], self.spec)
        return LabelledFiles(split, [p.stem for p in pictures], partial(self._place, split), table)

    def fingerprint(self) -> str:
        """sha256 of the names and sizes of the files."""
        return fingerprint(self)

    def _place(self, split: str, stem: str) -> tuple[Path, Path | None]:
        folder = self.root / FOLDERS[split]
        labels = self.root / "annotations" / folder.name / f"{stem}.png"
        return folder / f"{stem}.jpg", None if split == "test" else labels
