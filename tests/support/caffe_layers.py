"""Networks of one layer, as Caffe's text."""

from __future__ import annotations

from tests.support.caffe_files import deploy

TWO = 'bottom: "data" bottom: "more"'
MORE = 'layer { name: "m" type: "Power" bottom: "data" top: "more" power_param { scale: -2 } }'


def one(kind: str, parameters: str = "", tops: str = 'top: "y"', bottoms: str = "") -> str:
    bottoms = bottoms or 'bottom: "data"'
    return deploy((4, 7, 6), f'layer {{ name: "l" type: "{kind}" {bottoms} {tops} {parameters} }}')


def both(kind: str, parameters: str) -> str:
    return deploy(
        (4, 7, 6),
        f'{MORE} layer {{ name: "l" type: "{kind}" {TWO} top: "y" {parameters} }}',
    )
