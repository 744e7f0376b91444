"""`{prefix}/sample_labels/`: the labels."""

from myapp.core import (
    CrudResource,
    FeatureApi,
    action,
    enum,
    error_responses,
    now,
    request_schema,
)

from .models import Retired, SampleLabel

labels = FeatureApi("sample_labels", "Labels.")
REASON = request_schema("Retirement", why=enum("Why.", "worn", "lost"))


class Labels(CrudResource):
    @error_responses({409: Retired.__doc__})
    @action(REASON)
    def retire(self, label, body):
        """Retire a label."""
        if label.retired_at:
            raise Retired
        return label.update(retired_at=now())

    @action(readers=True)
    def bring_back(self, label):
        """Bring a label back."""
        return label.update(retired_at=None)


Labels.register(labels, SampleLabel, one="a label")
