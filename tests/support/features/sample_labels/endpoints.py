"""`{prefix}/sample_labels/`: the labels."""

from myapp.core import CrudResource, FeatureApi

from .models import SampleLabel

labels = FeatureApi("sample_labels", "Labels.")
CrudResource.register(labels, SampleLabel, one="a label")
