"""Distances, nearest neighbors and ranks of point clouds, exact and in blocks."""

from jaxvae.geometry.distances import squared_distances as squared_distances
from jaxvae.geometry.neighbors import Neighbors as Neighbors
from jaxvae.geometry.neighbors import nearest_neighbors as nearest_neighbors
from jaxvae.geometry.ranks import conditional_ranks as conditional_ranks
