"""The two documents of a run: what to do (`RunConfig`) and what came of it (`RunReport`).

A YAML under `jobs/` names a preset and overrides what it needs; the resolved `RunConfig` is what runs, is hashed, and is
stored with the result.
"""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from s2s.contracts.document import Document, Part
from s2s.contracts.section import Lattice, SectionId, Term, Values
from s2s.contracts.sharding import ShardingConfig

Uri = Annotated[str, Field(min_length=1, max_length=2000)]
Reader = Literal["cells", "spots", "transcripts", "st"]


class SectionSource(Part):
    """How to read one section from a user's file; the same fields as the options of `s2s ingest section`."""

    file: str = Field(description="path of the source file")
    reader: Reader = Field(
        description="cells or spots: AnnData; transcripts: CSV, CSV.gz or Parquet, a row each; st: original ST table with RxC rows"
    )
    id: SectionId = Field(description="name of the section in the atlas")
    tissue: Term = Field(description="for instance breast, brain")
    organism: Term = Field(description="for instance human, mouse")
    technology: Term = Field(description="for instance xenium, visium, spatial-transcriptomics, iss")
    pitch_um: float = Field(gt=0, description="side of a bin; for spots their distance")
    um_per_unit: float = Field(1.0, gt=0, description="micrometres per unit of the source's coordinates")
    lattice: Lattice = Field(Lattice(), description="stride 2 puts spots on a grid twice as fine, to impute between them")
    values: Values = Field("counts", description="counts: unsigned integers; log1p: values that the source had already normalised")
    layer: str | None = Field(None, description="AnnData layer that holds the counts; X when absent")
    columns: tuple[str, str, str] = Field(("x", "y", "gene"), description="column names of a transcript table")
    licence: str = Field("unknown", description="licence of the source, as you know it")
    donor: str | None = Field(None, max_length=200, description="who the tissue is from: sections of one donor never judge each other")


class SamplingConfig(Part):
    """Which positions of a fully measured section count as measured; the others are held out for scoring."""

    stride: Literal[2] = Field(2, description="every second row and column is kept: 25 % of the bins")
    phase: tuple[Annotated[int, Field(ge=0, le=1)], Annotated[int, Field(ge=0, le=1)]] = Field(
        (0, 0), description="(y, x) offset of the kept positions; on a hexagonal lattice x is axial, x - y // 2"
    )
    mode: Literal["strict", "paper"] = Field(
        "strict", description="strict: only sampled bins reach training; paper: the authors' leak, can never take @champion"
    )


class GeneConfig(Part):
    """Which genes are trained on, scored and imputed."""

    min_detected: float = Field(0.05, ge=0, le=1, description="smallest fraction of observed bins in which a gene is detected")
    limit: int | None = Field(None, ge=1, description="keep only this many, by mean expression in observed bins")
    names: tuple[str, ...] | None = Field(None, description="exactly these genes instead")


class KrigingConfig(Part):
    """The linear step that fills the network's input with `fill: krige`."""

    rank: int = Field(32, ge=1, le=1024, description="gene factors kept; noisy ones shrink to nothing by themselves")
    own_share: float | None = Field(
        None, ge=0, le=1, description="share of a gene's own kriged field, the rest is its factors'; null finds both on hidden samples"
    )
    noise_exponent: float | None = Field(
        None, ge=0, le=3, description="noise of a bin falls with its detected genes to this power; null estimates it from the section"
    )
    max_bins: int = Field(2500, ge=4, le=20000, description="observed bins up to which a section is kriged in one piece, not by regions")


class NetworkConfig(Part):
    """Size and parts of the CDCIN; `method.md` section 3 is the `paper` preset."""

    features: int = Field(32, ge=1, le=1024, description="channels")
    blocks: int = Field(8, ge=1, le=64, description="residual dense blocks with attention per stage")
    layers: int = Field(4, ge=1, le=16, description="dense layers per block")
    growth: int = Field(32, ge=1, le=512, description="channels each dense layer adds")
    window: int = Field(8, ge=2, le=32, description="side of an attention window")
    heads: int = Field(4, ge=1, le=64, description="attention heads; divides features")
    cascades: int = Field(3, ge=1, le=64, description="stages, each followed by data consistency")
    has_attention: bool = Field(True, description="off: plain residual dense blocks")
    has_consistency: bool = Field(True, description="put measured values back between stages; after the last it is always done")
    has_mask_inputs: bool = Field(False, description="feed the observed and tissue masks beside the values")
    fill: Literal["copy", "smooth", "krige"] = Field(
        "copy", description="how unmeasured positions enter: 2 x 2 copies, mask-normalised smoothing, or kriging of gene factors"
    )
    kriging: KrigingConfig = KrigingConfig()
    symmetries: Literal[1, 2, 4, 8] = Field(
        1, description="turns and mirror images of a section whose predictions are averaged; a hexagonal one has four"
    )

    @model_validator(mode="after")
    def _heads_divide_features(self) -> "NetworkConfig":
        if self.has_attention and self.features % self.heads:
            raise ValueError(f"expected features divisible by heads, got features {self.features}, heads {self.heads}")
        return self

    @model_validator(mode="after")
    def _copies_are_not_turned(self) -> "NetworkConfig":
        if self.fill == "copy" and self.symmetries > 1:
            raise ValueError(f"expected symmetries 1 with fill copy, got {self.symmetries}: its 2 x 2 blocks belong to one orientation")
        return self


class LossWeights(Part):
    """Weights of the four loss terms (`method.md` section 2); 0 leaves a term out."""

    sparser_to_sparse: float = Field(1.0, ge=0, description="every second sample in, all samples asked back")
    sparse_to_dense: float = Field(1.0, ge=0, description="all samples in, a dense section out, compared at samples")
    photo_sparser_to_sparse: float = Field(1.0, ge=0, description="the first term, on photographs")
    photo_sparse_to_dense: float = Field(1.0, ge=0, description="the second, on photographs, whose dense truth is known")


class TrainingConfig(Part):
    """The optimisation: how long, on what windows, and when to stop."""

    scheme: Literal["shared", "per_gene"] = Field(
        "shared",
        description="shared: one network, genes are samples of its batches; per_gene: a network for each gene, as in the paper, "
        "of which none becomes the tissue's model",
    )
    max_steps: int = Field(2000, ge=1, description="optimiser steps at most, of each network")
    max_minutes: float | None = Field(None, gt=0, description="stop after this long, whatever the step")
    batch: int = Field(16, ge=1, le=65536, description="windows per step of a network; a window is one gene at one place")
    window: int = Field(
        64, ge=8, le=1024, multiple_of=4, description="side of a dense training window in bins; its sampled lattice has half of it"
    )
    min_tissue: float = Field(0.5, ge=0, le=1, description="smallest tissue fraction of a training window")
    learning_rate: float = Field(1e-4, gt=0, description="of Adam, at its highest")
    schedule: Literal["constant", "cosine"] = Field("constant", description="cosine: warm-up over 5 %, then down to 1 %")
    betas: tuple[float, float] = Field((0.5, 0.999), description="Adam")
    clip_norm: float | None = Field(None, gt=0, description="largest gradient norm")
    hide_fraction: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="share of samples hidden from the input of sparse_to_dense and asked back; 0 is the paper's identity term",
    )
    loss: Literal["l1", "l2"] = Field("l1", description="absolute error learns the median, squared error the mean")
    trust: float | None = Field(
        1.0, ge=0, le=1, description="share kept of what the network changes in a kriged fill; null: as much as hidden samples prove"
    )
    folds: int = Field(10, ge=2, le=20, description="parts of the observed bins: one chooses the best step, all calibrate in turn")
    hidden: Literal["random", "lattice"] = Field(
        "random", description="what fill krige learns from: the other parts hidden in turn, or all but every second sample as in the paper"
    )
    weights: LossWeights = LossWeights()
    validate_every: int = Field(100, ge=1, description="steps between validations")
    patience: int | None = Field(None, ge=1, description="validations without improvement before stopping")
    checkpoint_every_s: float = Field(60.0, gt=0, description="seconds between checkpoints")
    pass_bins: int | None = Field(
        None,
        ge=64,
        description="bins that go through the network at once, on which memory depends; null: as many as keep the processor busy; "
        "of scheme per_gene as many networks as have a step within it train at once",
    )
    keep_checkpoints: int = Field(2, ge=1, le=100, description="newest checkpoints that are kept while training")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto: bfloat16 where the processor multiplies it natively"
    )


class ImputationConfig(Part):
    """How a whole section is imputed."""

    tile: int = Field(128, ge=32, le=4096, multiple_of=32, description="side of a tile in bins")
    overlap: int = Field(16, ge=0, le=512, description="bins shared by neighbouring tiles, blended")
    insets: int = Field(
        1, ge=1, le=16, description="how often a section is imputed, each time without two more bins of its border, and averaged"
    )
    batch_bins: int | None = Field(
        None, ge=1024, description="bins per network call, over genes and tiles; null: as many as keep the processor busy"
    )


class Resources(Part):
    """What one run asks of the cluster."""

    cpus: float = Field(2, gt=0, description="cores: threads of torch; of scheme per_gene, trainings at once")
    gpus: float = Field(0, ge=0, description="graphics processors; a fraction shares one")
    memory_gb: float = Field(4, gt=0, description="main memory to reserve")
    gpu_memory_gb: float = Field(40, gt=0, description="memory of one graphics processor, by which a training is planned")


class GpuUse(Part):
    """What a run took of its graphics processor, where it had one."""

    share: float = Field(gt=0, le=1, description="part of the processor that was its own; the others' runs had the rest")
    peak_bytes: int = Field(ge=0, description="largest amount of its memory that was reserved, the driver's own part not counted")
    total_bytes: int = Field(gt=0, description="memory of the whole processor")


class TrackingConfig(Part):
    """Where the run is recorded."""

    experiment: str = Field("s2s", min_length=1, max_length=200, description="MLflow experiment")
    register_model: bool = Field(True, description="register the network as a candidate of its tissue")


class RunConfig(Document):
    """One single-shot run: one section, one network, one release candidate."""

    kind: Literal["run"] = "run"
    version: Literal[1] = 1
    name: SectionId = Field(description="name of the run in MLflow and in file names")
    preset: Literal["paper", "laptop", "atlas", "large"] | None = Field(
        None, description="values that the YAML starts from, see jobs/presets/"
    )
    section: Uri | SectionSource = Field(description="URI or id of an ingested section, or a file with how to read it")
    photographs: Uri | None = Field("bundled", description="URI or id of an ingested set, `bundled`, or null for none")
    sampling: SamplingConfig = SamplingConfig()
    genes: GeneConfig = GeneConfig()
    expression_scale: float = Field(10.0, gt=0, description="log1p expression is divided by this at the network's door")
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    imputation: ImputationConfig = ImputationConfig()
    resources: Resources = Resources()
    sharding: ShardingConfig = ShardingConfig()
    tracking: TrackingConfig = TrackingConfig()
    seed: int = Field(0, ge=0, lt=2**31, description="same seed on a CPU, same bits")
    profile: bool = Field(False, description="also write profile.md, where the time went, and a trace of some steps")

    @model_validator(mode="after")
    def _something_is_learnt(self) -> "RunConfig":
        weights = self.training.weights
        if not (weights.sparser_to_sparse or weights.sparse_to_dense):
            raise ValueError("expected a weight above 0 for sparser_to_sparse or sparse_to_dense in training.weights, got 0 for both")
        return self

    @model_validator(mode="after")
    def _kriging_learns_from_folds(self) -> "RunConfig":
        if self.network.fill == "krige" and (self.training.weights.sparser_to_sparse or self.sampling.mode == "paper"):
            raise ValueError(
                "expected training.weights.sparser_to_sparse 0 and sampling.mode strict with network.fill krige, "
                f"got {self.training.weights.sparser_to_sparse:g} and {self.sampling.mode}: its network learns from hidden samples"
            )
        return self

    @model_validator(mode="after")
    def _every_worker_has_a_window(self) -> "RunConfig":
        if (self.sharding.workers or 1) > self.training.batch:
            raise ValueError(
                f"expected at most training.batch={self.training.batch} in sharding.workers, a window each, got {self.sharding.workers}"
            )
        return self

    @model_validator(mode="after")
    def _networks_of_genes_are_no_model_of_a_tissue(self) -> "RunConfig":
        if self.training.scheme == "shared":
            return self
        if self.tracking.register_model:
            raise ValueError(
                "expected tracking.register_model false with training.scheme per_gene, got true: a network that knows one gene is no model "
                "of a tissue, so such a run registers none, and is no part of an atlas"
            )
        if (self.sharding.workers or 1) > 1 or self.sharding.strategy not in (None, "single"):
            raise ValueError(
                "expected one worker and strategy single in sharding with training.scheme per_gene, "
                f"got workers {self.sharding.workers}, strategy {self.sharding.strategy}: networks of genes are trained in one process"
            )
        if self.training.max_minutes is not None:
            raise ValueError(
                f"expected training.max_minutes null with training.scheme per_gene, got {self.training.max_minutes:g}: genes would be "
                "trained for different times, the last for none; set training.max_steps, or fewer genes in genes.limit"
            )
        return self

    @model_validator(mode="after")
    def _paper_preset_has_no_mask_inputs(self) -> "RunConfig":
        if self.preset == "paper" and self.network.has_mask_inputs:
            raise ValueError("expected network.has_mask_inputs false under preset paper, got true: the paper's network sees no masks")
        return self


class ScoreRow(Part):
    """Accuracy of one method on the held-out bins: means over genes, then over the marker genes that are present."""

    method: str
    pcc: float = Field(description="Pearson correlation, 0 where undefined")
    mae: float = Field(description="mean absolute error, log1p units")
    rmse: float = Field(description="root mean squared error, log1p units")
    marker_pcc: float | None = None
    marker_mae: float | None = None
    marker_rmse: float | None = None
    median_mae: float | None = Field(None, description="mean absolute error of the method's median, where it gives one beside its mean")
    reliability: float | None = Field(None, description="correlation over genes of the PCC that the method predicts with its true PCC")
    ssim: float | None = Field(None, description="structural similarity with fixed range, mean over genes")
    moran_truth: float | None = Field(None, description="Moran's I of the truth, mean over genes")
    moran_imputed: float | None = Field(None, description="Moran's I of the imputation, mean over genes")
    seconds: float = Field(0.0, ge=0)
    num_genes: int = Field(ge=0)


class RunReport(Document):
    """What a run did, where its results lie, and how good they are."""

    kind: Literal["run_report"] = "run_report"
    version: Literal[1] = 1
    run_key: str = Field(pattern=r"^[0-9a-f]{16}$", description="hash of code version, resolved config, data and seed")
    config: RunConfig
    section_uri: str
    data_sha256: str
    code_version: str
    is_leaky: bool = Field(description="sampling.mode paper: held-out bins reached training")
    num_tiles: int = Field(0, ge=0, description="tiles of a large section that it learnt from and was judged on; 0: all of the section")
    steps: int = Field(ge=0, description="optimiser steps done")
    best_step: int = Field(ge=0, description="step whose weights were kept; of scheme per_gene the latest of its networks")
    validation_error: float | None = Field(description="on hidden observed bins, log1p units: absolute or root mean squared, as the loss")
    trust: float = Field(
        1.0, ge=0, le=1, description="share kept of what the network changed in a kriged fill; of scheme per_gene the mean over genes"
    )
    scores: tuple[ScoreRow, ...] = Field(
        description="the run first, then the classical rows, on the same held-out bins; empty where no truth exists"
    )
    seconds: float
    peak_memory_bytes: int
    gpu: GpuUse | None = Field(None, description="null where it trained on a CPU")
    device: str
    mlflow_run_id: str | None = Field(None, description="absent while the records wait for an MLflow server")
    model_name: str | None = None
    model_version: str | None = Field(None, description="absent while the registration waits for an MLflow server")
    folder: str = Field("", description="URI of everything the run left: files, release, checkpoint")
    artifacts: dict[str, str] = Field(default_factory=dict, description="name -> URI of figures and tables in that folder")
