"""One pair of representations in NumPy float32: the body of the loop over pairs.

CKA: Frobenius norms of products of features where both spaces are narrower than n, else of
Gram matrices. Procrustes: singular values of X'Y, a space wider than n being first
replaced by the n x n triangular factor of its transpose, which changes no singular value.
"""

import numpy as np

from benchmarks.peers.worker import serve, versions


def centered(x: np.ndarray) -> np.ndarray:
    x = x.reshape(len(x), -1)
    return x - x.mean(axis=0)


def cka_matrix(x: np.ndarray, y: np.ndarray) -> float:
    """Linear CKA of one pair."""
    x, y = centered(x), centered(y)
    if max(x.shape[1], y.shape[1]) < len(x):
        cross, own, other = x.T @ y, x.T @ x, y.T @ y
        shared = np.linalg.norm(cross) ** 2
    else:
        own, other = x @ x.T, y @ y.T
        shared = np.vdot(own, other)
    return float(shared / (np.linalg.norm(own) * np.linalg.norm(other)))


def procrustes_matrix(x: np.ndarray, y: np.ndarray) -> float:
    """Procrustes similarity of one pair."""
    x, y = thin(centered(x)), thin(centered(y))
    nuclear = np.linalg.svd(x.T @ y, compute_uv=False).sum()
    return float(nuclear / (np.linalg.norm(x) * np.linalg.norm(y)))


def thin(x: np.ndarray) -> np.ndarray:
    return np.linalg.qr(x.T, mode="r").T if x.shape[1] > len(x) else x


if __name__ == "__main__":
    works = (cka_matrix, procrustes_matrix)
    serve({work.__name__: work for work in works}, versions("numpy"))
