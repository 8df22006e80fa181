"""Trained states -> representations -> profiles and advice."""

from jaxvae.analysis.advice import Advice as Advice
from jaxvae.analysis.advice import sufficient_bottleneck as sufficient_bottleneck
from jaxvae.analysis.capture import capture as capture
from jaxvae.analysis.capture import capture_to as capture_to
from jaxvae.analysis.evaluation import Evaluation as Evaluation
from jaxvae.analysis.evaluation import evaluate as evaluate
from jaxvae.analysis.measure import Measurement as Measurement
from jaxvae.analysis.measure import Measurements as Measurements
from jaxvae.analysis.measure import measure as measure
from jaxvae.analysis.profile import Profile as Profile
from jaxvae.analysis.profile import gaussian_dimension as gaussian_dimension
from jaxvae.analysis.profile import profile as profile
from jaxvae.analysis.registry import METRICS as METRICS
from jaxvae.analysis.saved import SavedRun as SavedRun
from jaxvae.analysis.saved import open_run as open_run
from jaxvae.analysis.traversal import Traversals as Traversals
from jaxvae.analysis.traversal import latent_traversals as latent_traversals
