"""`{prefix}/sample_marks/`: the marks that I own."""

from myapp.core import CrudResource, FeatureApi

from .models import SampleMark

marks = FeatureApi("sample_marks", "Marks of an account.", owned=True)
CrudResource.register(marks, SampleMark, one="a mark")
