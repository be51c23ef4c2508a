"""Helm: a chart that runs the server in a cluster, and what says which values it takes."""

from lrn_deploy.package.helm.chart import write

__all__ = ["write"]
